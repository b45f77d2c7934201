// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {IDaoToken} from "./IDaoToken.sol";
import {IRewards} from "./IRewards.sol";
import {Leaf} from "./Leaf.sol";

/// @title The token of one data DAO: a share in its decisions
/// @notice Owners receive it for accepted contributions. It is minted by a supply rule that is fixed at launch: the
/// founders' amount at once, then what the final roots of the turns issue, claimed by anyone for the account in the leaf.
///
/// Definitions, in atomic units, for turns t = 1, 2, ...:
///   most(t)      perTurn >> ((t - 1) / halvingTurns)
///   schedule(t)  the smaller of cap - founders and most(1) + ... + most(t)
///   issuable(t)  schedule(t) - schedule(t - 1)
///   issued(t)    what the roots up to turn t issue, of which each turn issues at most issuable(t)
/// Always, when something is minted: supply <= founders + issued(newest final turn) <= founders + schedule(newest final
/// turn) <= cap. A root whose leaves promise more cannot mint more. What a turn does not issue is never issued.
contract DaoToken is IDaoToken, ERC20, ERC20Permit, ERC20Votes {
    /// @notice The rule of supply, fixed at launch.
    struct Supply {
        uint128 cap;
        uint128 founders;
        uint128 perTurn;
        uint32 halvingTurns;
    }

    /// @notice More is never minted.
    uint256 public immutable cap;
    /// @notice What was minted at launch.
    uint256 public immutable founders;
    /// @notice The most that the first turn issues.
    uint256 public immutable perTurn;
    /// @notice After how many turns that halves, again and again.
    uint64 public immutable halvingTurns;
    /// @notice Knows the token roots of final turns.
    IRewards public immutable rewards;

    /// @notice What an account has received for its contributions so far; it never falls.
    mapping(address account => uint256 amount) public claimed;

    /// @notice The founders' amount must be within the cap, and the halving time at least one turn.
    error SupplyInvalid(uint128 cap, uint128 founders, uint32 halvingTurns);
    /// @notice The turn is not final, so its tokens do not count.
    error TurnNotFinal(uint64 turn);
    /// @notice The proof does not lead from this leaf to the turn's token root.
    error ProofInvalid(uint64 turn, bytes32 leaf, bytes32 root);
    /// @notice The account has received this cumulative amount already.
    error NothingToClaim(address account, uint256 cumulative, uint256 claimed);
    /// @notice The root would mint more than all final turns issue, so it is wrong.
    error ExceedsSupply(uint256 supply, uint256 most);
    /// @notice The arrays of a batch must have the same length.
    error LengthMismatch(uint256 accounts, uint256 cumulatives, uint256 proofs);

    event Claimed(uint64 indexed turn, address indexed account, uint256 amount, uint256 cumulative);

    constructor(string memory name_, string memory symbol_, Supply memory supply, address founder, IRewards rewards_)
        ERC20(name_, symbol_)
        ERC20Permit(name_)
    {
        require(
            supply.founders <= supply.cap && supply.halvingTurns != 0,
            SupplyInvalid(supply.cap, supply.founders, supply.halvingTurns)
        );
        cap = supply.cap;
        founders = supply.founders;
        perTurn = supply.perTurn;
        halvingTurns = supply.halvingTurns;
        rewards = rewards_;
        if (supply.founders != 0) _receive(founder, supply.founders);
    }

    /// @notice Mint for `account` what it has not received of `cumulative`, proven by the token root of the final turn
    /// `turn`. Anyone may send it; the tokens go to the account in the leaf.
    function claim(uint64 turn, address account, uint256 cumulative, bytes32[] calldata proof) external {
        (bytes32 root, uint256 most) = _issued(turn);
        uint256 had = claimed[account];
        require(cumulative > had, NothingToClaim(account, cumulative, had));
        _claim(root, most, turn, account, cumulative, proof);
    }

    /// @notice Mint for many accounts; those with nothing to claim are left out.
    function claimMany(
        uint64 turn,
        address[] calldata accounts,
        uint256[] calldata cumulatives,
        bytes32[][] calldata proofs
    ) external {
        require(
            accounts.length == cumulatives.length && accounts.length == proofs.length,
            LengthMismatch(accounts.length, cumulatives.length, proofs.length)
        );
        (bytes32 root, uint256 most) = _issued(turn);
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (cumulatives[i] > claimed[accounts[i]]) {
                _claim(root, most, turn, accounts[i], cumulatives[i], proofs[i]);
            }
        }
    }

    /// @inheritdoc IDaoToken
    function issuable(uint64 turn) external view returns (uint256) {
        return turn == 0 ? 0 : schedule(turn) - schedule(turn - 1);
    }

    /// @notice The leaf of an account in the token tree of `turn`.
    function tokenLeaf(uint64 turn, address account, uint256 cumulative) external view returns (bytes32) {
        return Leaf.ofAmount(turn, account, cumulative);
    }

    /// @notice The most that the turns up to `turn` may issue together.
    /// @dev Its loop ends when the amount has halved to nothing: after 128 steps at most.
    function schedule(uint64 turn) public view returns (uint256 sum) {
        uint256 left = turn;
        for (uint256 most = perTurn; most != 0 && left != 0; most >>= 1) {
            uint256 turns = left < halvingTurns ? left : halvingTurns;
            sum += turns * most;
            left -= turns;
        }
        if (sum > cap - founders) sum = cap - founders;
    }

    /// @notice Voting power is looked up by time, in Unix seconds.
    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @notice How the clock counts (ERC-6372).
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice The next nonce of an account's signatures, for permits and delegations alike.
    function nonces(address account) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(account);
    }

    /// @dev The root to prove against, and the most supply that there may be after the claim.
    function _issued(uint64 turn) private view returns (bytes32 root, uint256 most) {
        uint64 newest;
        (root, newest, most) = rewards.finalTokenRoot(turn);
        require(root != 0, TurnNotFinal(turn));
        // The rewards contract keeps the schedule; that nobody exceeds it does not hang on that.
        uint256 scheduled = schedule(newest);
        most = founders + (most < scheduled ? most : scheduled);
    }

    function _claim(
        bytes32 root,
        uint256 most,
        uint64 turn,
        address account,
        uint256 cumulative,
        bytes32[] calldata proof
    ) private {
        bytes32 leaf = Leaf.ofAmount(turn, account, cumulative);
        require(MerkleProof.verifyCalldata(proof, root, leaf), ProofInvalid(turn, leaf, root));
        uint256 amount = cumulative - claimed[account];
        claimed[account] = cumulative;
        emit Claimed(turn, account, amount, cumulative);
        _receive(account, amount);
        require(totalSupply() <= most, ExceedsSupply(totalSupply(), most));
    }

    /// @dev Tokens vote only when delegated, which newcomers cannot know: who never chose votes for herself.
    function _receive(address account, uint256 amount) private {
        if (balanceOf(account) == 0 && delegates(account) == address(0)) _delegate(account, account);
        _mint(account, amount);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
