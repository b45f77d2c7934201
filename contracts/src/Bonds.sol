// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IBonds} from "./IBonds.sol";
import {IPayToken} from "./IPayToken.sol";
import {IRewards} from "./IRewards.sol";
import {Leaf} from "./Leaf.sol";
import {Money} from "./Money.sol";

/// @title The bonds of one data DAO
/// @notice Owners put a bond behind their contributions; the slash root of a final turn says what each loses, the rest
/// goes back. Posters and challengers of roots put theirs down here too, so that payouts and bonds never share a purse.
///
/// Definitions, in atomic units:
///   bond(c, o)  what owner o has standing behind contribution c
///   at stake    the bonds of posters and challengers, while their root is undecided
///   credit(a)   root bonds that account a won or got back, and has not taken out
/// Always: balance >= sum of bonds + at stake + sum of credits, with equality unless somebody sends money unasked.
/// A bond ends once: by the slash of one final turn, or by its owner's way out when no turn settled it for long.
///
/// @dev A single call refuses what is done already; a batch leaves it out, so that nobody spoils a batch by sending one
/// of its rows first.
contract Bonds is IBonds, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;
    using Money for IPayToken;
    using SafeCast for uint256;

    /// @notice Seconds after which an owner may take back a bond that no turn settled: longer than any turn with its
    /// challenge window should take, so that no slash is escaped, and yet an end if the DAO stands still.
    uint64 public constant RECLAIM_AFTER = 180 days;

    /// @notice What stands behind a contribution, and since when.
    struct Bond {
        uint128 amount;
        uint64 postedAt;
    }

    /// @notice An owner's signed authorisation to take a bond for a contribution.
    struct BondAuthorization {
        bytes32 contributionId;
        address owner;
        uint256 amount;
        uint256 validAfter;
        uint256 validBefore;
        bytes signature;
    }

    /// @notice One row of a slash root with its proof.
    struct BondSettlement {
        bytes32 contributionId;
        address owner;
        uint256 slash;
        bytes32[] proof;
    }

    /// @notice The money of the bonds.
    IPayToken public immutable token;
    /// @notice Gets the slashes.
    address public immutable treasury;
    /// @notice Knows the slash roots; takes and gives the bonds of posters and challengers.
    IRewards public immutable rewards;

    /// @notice The root bonds that an account may take out or put down again.
    mapping(address account => uint256 amount) public creditOf;

    /// @dev The owner is part of the key, so that nobody can block a contribution by posting a bond under its id.
    mapping(bytes32 contributionId => mapping(address owner => Bond)) private _bonds;

    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice This owner's bond for this contribution is held already.
    error BondKnown(bytes32 contributionId, address owner, uint256 amount);
    /// @notice No bond of this owner is held for this contribution.
    error BondUnknown(bytes32 contributionId, address owner);
    /// @notice The slash is larger than the bond.
    error SlashExceedsBond(bytes32 contributionId, uint256 slash, uint256 bond);
    /// @notice The turn is not final, so its slashes do not count.
    error TurnNotFinal(uint64 turn);
    /// @notice The proof does not lead from this leaf to the turn's slash root.
    error ProofInvalid(uint64 turn, bytes32 leaf, bytes32 root);
    /// @notice A turn may still settle this bond.
    error NotReclaimable(bytes32 contributionId, address owner, uint64 reclaimableAt, uint64 time);
    /// @notice Only the rewards contract moves the bonds of roots.
    error NotRewards(address caller, address rewards);

    event BondPosted(bytes32 indexed contributionId, address indexed owner, uint256 amount);
    event BondSettled(
        uint64 indexed turn, bytes32 indexed contributionId, address indexed owner, uint256 returned, uint256 slashed
    );
    event BondReclaimed(bytes32 indexed contributionId, address indexed owner, uint256 amount);
    event RootBondTaken(address indexed account, uint256 amount, uint256 fromCredit);
    event RootBondCredited(address indexed account, uint256 amount);
    event CreditWithdrawn(address indexed account, uint256 amount);

    modifier onlyRewards() {
        require(msg.sender == address(rewards), NotRewards(msg.sender, address(rewards)));
        _;
    }

    constructor(IPayToken token_, address treasury_, IRewards rewards_) {
        token = token_;
        treasury = treasury_;
        rewards = rewards_;
    }

    /// @notice Take the bond of a contribution by its owner's EIP-3009 ReceiveWithAuthorization to this contract, whose
    /// nonce is the contribution's id. Anyone may send it.
    function postBond(
        bytes32 contributionId,
        address owner,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes calldata signature
    ) external nonReentrant {
        uint256 held = bondOf(contributionId, owner);
        require(held == 0, BondKnown(contributionId, owner, held));
        uint256 had = token.balanceOf(address(this));
        _postBond(BondAuthorization(contributionId, owner, amount, validAfter, validBefore, signature));
        token.requireReceived(had, amount);
    }

    /// @notice Take many bonds; those held already are left out.
    function postBonds(BondAuthorization[] calldata bonds) external nonReentrant {
        uint256 had = token.balanceOf(address(this));
        uint256 sum;
        for (uint256 i = 0; i < bonds.length; ++i) {
            if (bondOf(bonds[i].contributionId, bonds[i].owner) != 0) continue;
            sum += bonds[i].amount;
            _postBond(bonds[i]);
        }
        token.requireReceived(had, sum);
    }

    /// @notice Give a bond back to its owner, less the slash that the final root of `turn` proves, which goes to the
    /// treasury. Anyone may send it.
    function settleBond(uint64 turn, bytes32 contributionId, address owner, uint256 slash, bytes32[] calldata proof)
        external
        nonReentrant
    {
        bytes32 root = _finalRoot(turn);
        uint256 bond = bondOf(contributionId, owner);
        require(bond != 0, BondUnknown(contributionId, owner));
        _settleBond(turn, root, bond, contributionId, owner, slash, proof);
        _slash(slash);
    }

    /// @notice Settle many bonds; those settled already are left out.
    function settleBonds(uint64 turn, BondSettlement[] calldata rows) external nonReentrant {
        bytes32 root = _finalRoot(turn);
        uint256 slashed;
        for (uint256 i = 0; i < rows.length; ++i) {
            BondSettlement calldata row = rows[i];
            uint256 bond = bondOf(row.contributionId, row.owner);
            if (bond == 0) continue;
            slashed += row.slash;
            _settleBond(turn, root, bond, row.contributionId, row.owner, row.slash, row.proof);
        }
        _slash(slashed);
    }

    /// @notice Give a bond that no turn settled within RECLAIM_AFTER back to its owner. Anyone may send it.
    function reclaimBond(bytes32 contributionId, address owner) external nonReentrant {
        uint256 amount = bondOf(contributionId, owner);
        require(amount != 0, BondUnknown(contributionId, owner));
        uint64 from = reclaimableAt(contributionId, owner);
        require(block.timestamp >= from, NotReclaimable(contributionId, owner, from, uint64(block.timestamp)));
        delete _bonds[contributionId][owner];
        emit BondReclaimed(contributionId, owner, amount);
        token.safeTransfer(owner, amount);
    }

    /// @inheritdoc IBonds
    function takeRootBond(address from, uint256 amount) external onlyRewards nonReentrant {
        uint256 credit = creditOf[from];
        uint256 used = credit < amount ? credit : amount;
        creditOf[from] = credit - used;
        emit RootBondTaken(from, amount, used);
        if (used != amount) token.take(from, amount - used);
    }

    /// @inheritdoc IBonds
    /// @dev A credit instead of a transfer, so that no receiver can hold up the finality of a root.
    function creditRootBond(address to, uint256 amount) external onlyRewards nonReentrant {
        creditOf[to] += amount;
        emit RootBondCredited(to, amount);
    }

    /// @notice Send an account its credit. Anyone may send it.
    function withdrawCredit(address account) external nonReentrant {
        uint256 amount = creditOf[account];
        require(amount != 0, ZeroAmount());
        creditOf[account] = 0;
        emit CreditWithdrawn(account, amount);
        token.safeTransfer(account, amount);
    }

    /// @notice What is held for a contribution of an owner.
    function bondOf(bytes32 contributionId, address owner) public view returns (uint256) {
        return _bonds[contributionId][owner].amount;
    }

    /// @notice When the owner may take back the bond if no turn settled it; 0 if none is held.
    function reclaimableAt(bytes32 contributionId, address owner) public view returns (uint64) {
        uint64 postedAt = _bonds[contributionId][owner].postedAt;
        return postedAt == 0 ? 0 : postedAt + RECLAIM_AFTER;
    }

    /// @notice The leaf of a bonded contribution in the slash tree of `turn`.
    function slashLeaf(uint64 turn, bytes32 contributionId, address owner, uint256 slash)
        external
        view
        returns (bytes32)
    {
        return Leaf.ofSlash(turn, contributionId, owner, slash);
    }

    function _postBond(BondAuthorization memory bond) private {
        require(bond.amount != 0, ZeroAmount());
        _bonds[bond.contributionId][bond.owner] = Bond(bond.amount.toUint128(), uint64(block.timestamp));
        emit BondPosted(bond.contributionId, bond.owner, bond.amount);
        token.receiveWithAuthorization(
            bond.owner,
            address(this),
            bond.amount,
            bond.validAfter,
            bond.validBefore,
            bond.contributionId,
            bond.signature
        );
    }

    function _settleBond(
        uint64 turn,
        bytes32 root,
        uint256 bond,
        bytes32 contributionId,
        address owner,
        uint256 slash,
        bytes32[] calldata proof
    ) private {
        bytes32 leaf = Leaf.ofSlash(turn, contributionId, owner, slash);
        require(MerkleProof.verifyCalldata(proof, root, leaf), ProofInvalid(turn, leaf, root));
        require(slash <= bond, SlashExceedsBond(contributionId, slash, bond));
        delete _bonds[contributionId][owner];
        emit BondSettled(turn, contributionId, owner, bond - slash, slash);
        if (slash != bond) token.safeTransfer(owner, bond - slash);
    }

    /// @dev One transfer for all the slashes of a batch.
    function _slash(uint256 amount) private {
        if (amount != 0) token.safeTransfer(treasury, amount);
    }

    /// @dev Zero also for a final turn whose slash tree is empty: no proof leads there.
    function _finalRoot(uint64 turn) private view returns (bytes32 root) {
        root = rewards.finalSlashRoot(turn);
        require(root != 0, TurnNotFinal(turn));
    }
}
