// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IPredicates} from "./IPredicates.sol";
import {IStake} from "./IStake.sol";

/// @title What counts as accepted work
/// @notice The escrow's predicates: they look at evidence and hold no money and no state. All evidence is
/// ABI-encoded. For `requireSigned`:
///   approval = (uint256 threshold, address[] members, address[] signers, bytes[] signatures)
///              of the buyer alone: signers = [buyer]; of a panel: all its members; else 0 and none
/// For `judge`, by kind:
///   Result   the bytes themselves; predicate = their keccak
///   Sampled  (bytes positions, bytes[] units, bytes32[][] proofs), four bytes a position; predicate = the ordered root
///            of the units: a leaf is keccak(keccak(abi.encode(uint256 position, keccak(unit))))
///   Gold     (bytes test, bytes answers); predicate = keccak(test); test = 32 bytes of salt, the least number of right
///            answers as 2 bytes, and for each question, by position, 4 bytes of position and 1 byte of answer
/// A panel's predicate is keccak(abi.encodePacked(uint256 threshold, address[] members)), each address a word. Stakes:
/// the signers must hold at least `predicate` millionths of all evaluators' stake, and something.
contract Predicates is IPredicates {
    /// @notice The most evaluators that a panel names or that sign, and the most units that are asked for.
    uint256 public constant MAX_NAMED = 32;
    /// @notice The most questions in a test.
    uint256 public constant MAX_TEST = 256;
    uint256 private constant _WHOLE = 1_000_000;
    uint256 private constant _POSITION = 4;
    uint256 private constant _SALT = 32;
    uint256 private constant _HEAD = 34;
    uint256 private constant _QUESTION = 5;

    /// @notice Says what evaluators hold.
    IStake public immutable stakes;

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice This step belongs to another kind of job.
    error WrongKind(Kind kind, Kind required);
    /// @notice Arrays or bytes that belong together differ in length.
    error LengthDiffers(uint256 given, uint256 required);
    /// @notice A number or time is not within what is allowed.
    error OutOfBounds(uint256 given, uint256 least, uint256 most);
    /// @notice What is given does not hash to what was committed.
    error HashDiffers(bytes32 given, bytes32 required);
    /// @notice The signature is not this account's on this acceptance.
    error SignatureInvalid(address signer);
    /// @notice Accounts must be in ascending order, without a repetition, and signers among the members.
    error SignersInvalid(uint256 index);
    /// @notice Too few evaluators, or too little of their stake, accept.
    error QuorumMissed(uint256 given, uint256 required);
    /// @notice Positions must be in ascending order, without a repetition, below the number of units.
    error PositionInvalid(uint256 position, uint256 least, uint256 units);
    /// @notice The proof does not lead from this unit to the root.
    error ProofInvalid(uint256 position);

    constructor(IStake stakes_) {
        require(address(stakes_) != address(0), ZeroAddress());
        stakes = stakes_;
    }

    /// @inheritdoc IPredicates
    function requireSigned(Kind kind, bytes32 predicate, address buyer, bytes32 digest, bytes calldata approval)
        external
        view
        returns (bool byBuyer)
    {
        (uint256 threshold, address[] memory members, address[] memory signers, bytes[] memory signatures) =
            abi.decode(approval, (uint256, address[], address[], bytes[]));
        _checkLength(signatures.length, signers.length);
        byBuyer = signers.length == 1 && signers[0] == buyer;
        if (!byBuyer) {
            _checkAscending(signers);
            if (kind == Kind.Staked) _checkStakes(uint256(predicate), signers);
            else _checkPanel(kind, predicate, threshold, members, signers);
        }
        for (uint256 i = 0; i < signers.length; ++i) {
            bool valid = SignatureChecker.isValidSignatureNow(signers[i], digest, signatures[i]);
            require(valid, SignatureInvalid(signers[i]));
        }
    }

    /// @inheritdoc IPredicates
    function judge(Kind kind, bytes32 predicate, bytes32 committed, bytes calldata evidence)
        external
        pure
        returns (uint256 right, uint256 required)
    {
        if (kind == Kind.Gold) return _grade(predicate, committed, evidence);
        if (kind == Kind.Sampled) return _open(predicate, committed, evidence);
        require(kind == Kind.Result, WrongKind(kind, Kind.Result));
        _checkHash(keccak256(evidence), predicate);
        return (1, 1);
    }

    /// @inheritdoc IPredicates
    function requirePositions(bytes calldata positions, uint256 units) external pure {
        uint256 count = positions.length / _POSITION;
        _checkBounds(count, 1, MAX_NAMED);
        _checkLength(positions.length, count * _POSITION);
        uint256 least;
        for (uint256 i = 0; i < positions.length; i += _POSITION) {
            least = _checkPosition(_number(positions, i, _POSITION), least, units);
        }
    }

    /// @notice The leaf of a unit in the root of what is delivered.
    function unitLeaf(uint256 position, bytes memory unit) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(position, keccak256(unit)))));
    }

    /// @notice The predicate of a panel.
    function panelHash(uint256 threshold, address[] memory members) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(threshold, members));
    }

    function _open(bytes32 root, bytes32 committed, bytes calldata evidence) private pure returns (uint256, uint256) {
        (bytes memory positions, bytes[] memory units, bytes32[][] memory proofs) =
            abi.decode(evidence, (bytes, bytes[], bytes32[][]));
        _checkHash(keccak256(positions), committed);
        _checkLength(units.length, positions.length / _POSITION);
        _checkLength(proofs.length, units.length);
        for (uint256 i = 0; i < units.length; ++i) {
            uint256 position = _number(positions, i * _POSITION, _POSITION);
            require(MerkleProof.verify(proofs[i], root, unitLeaf(position, units[i])), ProofInvalid(position));
        }
        return (units.length, units.length);
    }

    function _grade(bytes32 predicate, bytes32 committed, bytes calldata evidence)
        private
        pure
        returns (uint256 right, uint256 required)
    {
        (bytes memory test, bytes memory answers) = abi.decode(evidence, (bytes, bytes));
        _checkHash(keccak256(test), predicate);
        _checkHash(keccak256(answers), committed);
        _checkBounds(test.length, _HEAD + _QUESTION, _HEAD + _QUESTION * MAX_TEST);
        required = _number(test, _SALT, _HEAD - _SALT);
        uint256 least;
        for (uint256 i = _HEAD; i + _QUESTION <= test.length; i += _QUESTION) {
            uint256 position = _number(test, i, _POSITION);
            least = _checkPosition(position, least, answers.length);
            if (answers[position] == test[i + _POSITION]) ++right;
        }
    }

    function _checkStakes(uint256 ppm, address[] memory signers) private view {
        uint256 held;
        for (uint256 i = 0; i < signers.length; ++i) {
            held += stakes.stakeOf(IStake.Role.Evaluator, signers[i]);
        }
        uint256 required = (stakes.totalStake(IStake.Role.Evaluator) * ppm + _WHOLE - 1) / _WHOLE;
        require(held != 0 && held >= required, QuorumMissed(held, required));
    }

    function _checkPanel(
        Kind kind,
        bytes32 predicate,
        uint256 threshold,
        address[] memory members,
        address[] memory signers
    ) private pure {
        require(kind == Kind.Panel, WrongKind(kind, Kind.Panel));
        _checkHash(panelHash(threshold, members), predicate);
        _checkAscending(members);
        bool enough = signers.length != 0 && signers.length >= threshold;
        require(enough, QuorumMissed(signers.length, threshold));
        // Both ascend, so one pass finds each signer among the members.
        uint256 place;
        for (uint256 i = 0; i < signers.length; ++i) {
            while (place < members.length && members[place] != signers[i]) ++place;
            require(place < members.length, SignersInvalid(i));
        }
    }

    /// @dev The big-endian number in `size` bytes of `data` from `start`.
    function _number(bytes memory data, uint256 start, uint256 size) private pure returns (uint256 number) {
        for (uint256 i = start; i < start + size; ++i) {
            number = number << 8 | uint8(data[i]);
        }
    }

    function _checkAscending(address[] memory accounts) private pure {
        _checkBounds(accounts.length, 0, MAX_NAMED);
        for (uint256 i = 1; i < accounts.length; ++i) {
            require(accounts[i] > accounts[i - 1], SignersInvalid(i));
        }
    }

    /// @dev Returns the least position that may follow.
    function _checkPosition(uint256 position, uint256 least, uint256 units) private pure returns (uint256) {
        require(position >= least && position < units, PositionInvalid(position, least, units));
        return position + 1;
    }

    function _checkBounds(uint256 given, uint256 least, uint256 most) private pure {
        require(given >= least && given <= most, OutOfBounds(given, least, most));
    }

    function _checkHash(bytes32 given, bytes32 required) private pure {
        require(given == required, HashDiffers(given, required));
    }

    function _checkLength(uint256 given, uint256 required) private pure {
        require(given == required, LengthDiffers(given, required));
    }
}
