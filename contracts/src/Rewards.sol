// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayToken} from "./IPayToken.sol";
import {IRewards} from "./IRewards.sol";

/// @title Payouts and bonds of one data DAO
/// @notice Each turn has one payout root over cumulative amounts and one slash root over its bonded contributions.
/// They count once a challenge window has passed; then anyone may send a claim, which pays the account in the leaf.
///
/// Definitions, in atomic units:
///   funded  what the treasury paid in for pools, less what went back
///   owed    the sum of `paid` over the roots that stand; owed(t) counts the roots up to turn t
///   claimed what claims have paid out
///   bonds, root bonds  what is held for contributions, posters and challengers
/// Always: claimed <= owed(newest final turn) <= owed <= funded, and
///   balance >= funded - claimed + bonds + root bonds.
/// So even a wrong root that was accepted cannot touch a bond.
///
/// @dev Leaves are those of OpenZeppelin's StandardMerkleTree: double-hashed ABI encoding, sorted pairs. A single call
/// refuses what is done already; a batch leaves it out, so that nobody spoils a batch by sending one of its rows first.
contract Rewards is IRewards, Ownable, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;
    using SafeCast for uint256;

    /// @notice The longest challenge window, in seconds.
    uint64 public constant MAX_WINDOW = 30 days;

    /// @notice What a turn owes, and how far it is on the way to being final.
    struct Root {
        bytes32 payoutRoot;
        bytes32 slashRoot;
        bytes32 publicHash;
        uint128 paid;
        uint128 owed;
        address poster;
        uint64 finalAt;
        bool bondHeld;
        address challenger;
        uint64 disputedAt;
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

    /// @notice The money of bonds and payouts.
    IPayToken public immutable token;
    /// @notice Funds the pools and gets the slashes.
    address public immutable treasury;
    /// @notice Seconds from posting a root until it is final.
    uint64 public immutable challengeWindow;
    /// @notice What the poster of a root puts down, and who disputes it too.
    uint256 public immutable rootBond;

    /// @notice The turn of the newest root that stands, 0 before the first.
    uint64 public lastTurn;
    /// @notice What the treasury paid in for pools, less what went back.
    uint256 public totalFunded;
    /// @notice What the standing roots owe, paid out or not.
    uint256 public totalOwed;
    /// @notice What claims have paid out.
    uint256 public totalClaimed;
    /// @notice The bonds held for contributions.
    uint256 public totalBonds;
    /// @notice The bonds held for posters and challengers of roots.
    uint256 public totalRootBonds;
    /// @notice What an account has been paid so far; it never falls.
    mapping(address account => uint256 amount) public claimed;
    /// @notice What is held for a contribution of an owner.
    /// @dev The owner is part of the key, so that nobody can block a contribution by posting a bond under its id.
    mapping(bytes32 contributionId => mapping(address owner => uint256 amount)) public bondOf;

    mapping(uint64 turn => Root) private _roots;

    /// @notice The challenge window is outside the allowed seconds.
    error WindowOutOfBounds(uint64 given, uint64 least, uint64 most);
    /// @notice Only the treasury funds pools.
    error NotTreasury(address caller, address treasury);
    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice This owner's bond for this contribution is held already.
    error BondKnown(bytes32 contributionId, address owner, uint256 amount);
    /// @notice No bond of this owner is held for this contribution.
    error BondUnknown(bytes32 contributionId, address owner);
    /// @notice The slash is larger than the bond.
    error SlashExceedsBond(bytes32 contributionId, uint256 slash, uint256 bond);
    /// @notice Roots are posted one turn after another, without a gap, each once.
    error TurnOutOfOrder(uint64 turn, uint64 required);
    /// @notice The root pays more than its pool.
    error PaysMoreThanPool(uint256 paid, uint256 pool);
    /// @notice The pools funded so far do not cover what would be owed.
    error NotFunded(uint256 owed, uint256 funded);
    /// @notice This turn has no root.
    error RootUnknown(uint64 turn, uint64 lastTurn);
    /// @notice The root's challenge window is still open.
    error WindowOpen(uint64 turn, uint64 finalAt, uint64 time);
    /// @notice The root's challenge window has passed.
    error WindowOver(uint64 turn, uint64 finalAt, uint64 time);
    /// @notice The root is under dispute.
    error UnderDispute(uint64 turn, address challenger);
    /// @notice The root is not under dispute.
    error NotDisputed(uint64 turn);
    /// @notice Claims are made against the newest final root.
    error NotNewestRoot(uint64 turn, uint64 newest);
    /// @notice The proof does not lead from this leaf to the turn's root.
    error ProofInvalid(uint64 turn, bytes32 leaf, bytes32 root);
    /// @notice The account has been paid this cumulative amount already.
    error NothingToClaim(address account, uint256 cumulative, uint256 claimed);
    /// @notice The root would pay out more than the turn owes, so it is wrong.
    error ExceedsOwed(uint256 claimed, uint256 owed);
    /// @notice The arrays of a batch must have the same length.
    error LengthMismatch(uint256 accounts, uint256 cumulatives, uint256 proofs);
    /// @notice The bond of this root was given back already, or there was none.
    error NoRootBond(uint64 turn);
    /// @notice More than what is funded and not owed.
    error ExceedsUnowed(uint256 amount, uint256 unowed);

    event PoolFunded(uint64 indexed turn, uint256 amount);
    event UnowedReturned(uint256 amount);
    event BondPosted(bytes32 indexed contributionId, address indexed owner, uint256 amount);
    event BondSettled(
        uint64 indexed turn, bytes32 indexed contributionId, address indexed owner, uint256 returned, uint256 slashed
    );
    event RootPosted(
        uint64 indexed turn,
        bytes32 payoutRoot,
        bytes32 slashRoot,
        uint256 pool,
        uint256 paid,
        bytes32 publicHash,
        address poster,
        uint64 finalAt
    );
    event Disputed(uint64 indexed turn, address indexed challenger, bytes32 claimedRoot);
    event Resolved(uint64 indexed turn, address indexed challenger, bool rootWasWrong, uint64 finalAt);
    event RootBondReleased(uint64 indexed turn, address indexed poster, uint256 amount);
    event Claimed(uint64 indexed turn, address indexed account, uint256 amount, uint256 cumulative);

    constructor(address owner, IPayToken token_, address treasury_, uint64 challengeWindow_, uint256 rootBond_)
        Ownable(owner)
    {
        require(
            challengeWindow_ != 0 && challengeWindow_ <= MAX_WINDOW, WindowOutOfBounds(challengeWindow_, 1, MAX_WINDOW)
        );
        token = token_;
        treasury = treasury_;
        challengeWindow = challengeWindow_;
        rootBond = rootBond_;
    }

    /// @inheritdoc IRewards
    function fund(uint64 turn, uint256 amount) external nonReentrant {
        require(msg.sender == treasury, NotTreasury(msg.sender, treasury));
        totalFunded += amount;
        emit PoolFunded(turn, amount);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Send what is funded and not owed (dust, or a pool that was not spent) back to the treasury.
    function returnUnowed(uint256 amount) external onlyOwner nonReentrant {
        uint256 unowed = totalFunded - totalOwed;
        require(amount != 0, ZeroAmount());
        require(amount <= unowed, ExceedsUnowed(amount, unowed));
        totalFunded -= amount;
        emit UnowedReturned(amount);
        token.safeTransfer(treasury, amount);
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
        uint256 held = bondOf[contributionId][owner];
        require(held == 0, BondKnown(contributionId, owner, held));
        _postBond(BondAuthorization(contributionId, owner, amount, validAfter, validBefore, signature));
    }

    /// @notice Take many bonds; those held already are left out.
    function postBonds(BondAuthorization[] calldata bonds) external nonReentrant {
        for (uint256 i = 0; i < bonds.length; ++i) {
            if (bondOf[bonds[i].contributionId][bonds[i].owner] == 0) _postBond(bonds[i]);
        }
    }

    /// @notice Post the roots of `turn`; they are final when the challenge window has passed without a dispute.
    /// @param pool what there was to split
    /// @param paid what this turn adds to all cumulative amounts together
    /// @param publicHash the hash of the turn's public file, from which everyone can rebuild both trees
    function postRoot(
        uint64 turn,
        bytes32 payoutRoot,
        bytes32 slashRoot,
        uint256 pool,
        uint256 paid,
        bytes32 publicHash
    ) external onlyOwner nonReentrant {
        require(turn == lastTurn + 1, TurnOutOfOrder(turn, lastTurn + 1));
        // Cumulative amounts build on the turn before, so that one must stand.
        if (lastTurn != 0) _requireFinal(lastTurn);
        require(paid <= pool, PaysMoreThanPool(paid, pool));
        uint256 owed = totalOwed + paid;
        require(owed <= totalFunded, NotFunded(owed, totalFunded));
        lastTurn = turn;
        totalOwed = owed;
        uint64 finalAt = uint64(block.timestamp) + challengeWindow;
        _roots[turn] = Root({
            payoutRoot: payoutRoot,
            slashRoot: slashRoot,
            publicHash: publicHash,
            paid: paid.toUint128(),
            owed: owed.toUint128(),
            poster: msg.sender,
            finalAt: finalAt,
            bondHeld: rootBond != 0,
            challenger: address(0),
            disputedAt: 0
        });
        emit RootPosted(turn, payoutRoot, slashRoot, pool, paid, publicHash, msg.sender, finalAt);
        _takeRootBond();
    }

    /// @notice Dispute the roots of `turn` within the window, with the same bond as the poster's. The clock stops.
    /// @param claimedRoot the payout root that the challenger recomputed
    function dispute(uint64 turn, bytes32 claimedRoot) external nonReentrant {
        Root storage root = _known(turn);
        require(root.challenger == address(0), UnderDispute(turn, root.challenger));
        require(block.timestamp < root.finalAt, WindowOver(turn, root.finalAt, uint64(block.timestamp)));
        root.challenger = msg.sender;
        root.disputedAt = uint64(block.timestamp);
        emit Disputed(turn, msg.sender, claimedRoot);
        _takeRootBond();
    }

    /// @notice Decide a dispute; the loser's bond goes to the winner. A wrong root is taken away and the turn can be
    /// posted again; a right one gets the rest of its window, so that another challenger is not shut out.
    function resolve(uint64 turn, bool rootWasWrong) external onlyOwner nonReentrant {
        Root storage root = _known(turn);
        (address poster, address challenger) = (root.poster, root.challenger);
        require(challenger != address(0), NotDisputed(turn));
        uint64 finalAt;
        if (rootWasWrong) {
            // Only the newest root can be disputed: the one before it was final when this one was posted.
            lastTurn = turn - 1;
            totalOwed -= root.paid;
            delete _roots[turn];
        } else {
            finalAt = root.finalAt + uint64(block.timestamp) - root.disputedAt;
            (root.finalAt, root.challenger, root.disputedAt) = (finalAt, address(0), 0);
        }
        emit Resolved(turn, challenger, rootWasWrong, finalAt);
        if (rootWasWrong) _giveRootBond(challenger, 2 * rootBond);
        else _giveRootBond(poster, rootBond);
    }

    /// @notice Give the poster of a final root its bond back. Anyone may send it.
    function releaseRootBond(uint64 turn) external nonReentrant {
        Root storage root = _requireFinal(turn);
        require(root.bondHeld, NoRootBond(turn));
        root.bondHeld = false;
        emit RootBondReleased(turn, root.poster, rootBond);
        _giveRootBond(root.poster, rootBond);
    }

    /// @notice Pay `account` what it has not been paid of `cumulative`, proven by the newest final root.
    /// Anyone may send it; the money goes to the account in the leaf.
    function claim(uint64 turn, address account, uint256 cumulative, bytes32[] calldata proof) external nonReentrant {
        uint256 had = claimed[account];
        Root storage root = _requireNewest(turn);
        require(cumulative > had, NothingToClaim(account, cumulative, had));
        _claim(turn, root, account, cumulative, proof);
    }

    /// @notice Pay many accounts; those with nothing to claim are left out.
    function claimMany(
        uint64 turn,
        address[] calldata accounts,
        uint256[] calldata cumulatives,
        bytes32[][] calldata proofs
    ) external nonReentrant {
        require(
            accounts.length == cumulatives.length && accounts.length == proofs.length,
            LengthMismatch(accounts.length, cumulatives.length, proofs.length)
        );
        Root storage root = _requireNewest(turn);
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (cumulatives[i] > claimed[accounts[i]]) _claim(turn, root, accounts[i], cumulatives[i], proofs[i]);
        }
    }

    /// @notice Give a bond back to its owner, less the slash that the final root of `turn` proves, which goes to the
    /// treasury. Anyone may send it.
    function settleBond(uint64 turn, bytes32 contributionId, address owner, uint256 slash, bytes32[] calldata proof)
        external
        nonReentrant
    {
        Root storage root = _requireFinal(turn);
        require(bondOf[contributionId][owner] != 0, BondUnknown(contributionId, owner));
        _settleBond(turn, root, contributionId, owner, slash, proof);
    }

    /// @notice Settle many bonds; those settled already are left out.
    function settleBonds(uint64 turn, BondSettlement[] calldata rows) external nonReentrant {
        Root storage root = _requireFinal(turn);
        for (uint256 i = 0; i < rows.length; ++i) {
            BondSettlement calldata row = rows[i];
            if (bondOf[row.contributionId][row.owner] == 0) continue;
            _settleBond(turn, root, row.contributionId, row.owner, row.slash, row.proof);
        }
    }

    /// @notice The roots of `turn`; all zero if none stand.
    function rootOf(uint64 turn) external view returns (Root memory) {
        return _roots[turn];
    }

    /// @notice Whether the roots of `turn` count: posted, window over, no dispute.
    function isFinal(uint64 turn) public view returns (bool) {
        Root storage root = _roots[turn];
        return root.finalAt != 0 && root.challenger == address(0) && block.timestamp >= root.finalAt;
    }

    /// @notice The turn whose payout root claims are made against; 0 before the first is final.
    function newestFinal() public view returns (uint64) {
        uint64 last = lastTurn;
        return last == 0 || isFinal(last) ? last : last - 1;
    }

    /// @notice The leaf of an account in the payout tree of `turn`.
    function payoutLeaf(uint64 turn, address account, uint256 cumulative) public view returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(block.chainid, address(this), turn, account, cumulative))));
    }

    /// @notice The leaf of a bonded contribution in the slash tree of `turn`.
    function slashLeaf(uint64 turn, bytes32 contributionId, uint256 slash) public view returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(block.chainid, address(this), turn, contributionId, slash))));
    }

    function _postBond(BondAuthorization memory bond) private {
        require(bond.amount != 0, ZeroAmount());
        bondOf[bond.contributionId][bond.owner] = bond.amount;
        totalBonds += bond.amount;
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

    function _claim(uint64 turn, Root storage root, address account, uint256 cumulative, bytes32[] calldata proof)
        private
    {
        _requireProof(turn, root.payoutRoot, payoutLeaf(turn, account, cumulative), proof);
        uint256 amount = cumulative - claimed[account];
        uint256 total = totalClaimed + amount;
        require(total <= root.owed, ExceedsOwed(total, root.owed));
        claimed[account] = cumulative;
        totalClaimed = total;
        emit Claimed(turn, account, amount, cumulative);
        token.safeTransfer(account, amount);
    }

    function _settleBond(
        uint64 turn,
        Root storage root,
        bytes32 contributionId,
        address owner,
        uint256 slash,
        bytes32[] calldata proof
    ) private {
        _requireProof(turn, root.slashRoot, slashLeaf(turn, contributionId, slash), proof);
        uint256 bond = bondOf[contributionId][owner];
        require(slash <= bond, SlashExceedsBond(contributionId, slash, bond));
        delete bondOf[contributionId][owner];
        totalBonds -= bond;
        emit BondSettled(turn, contributionId, owner, bond - slash, slash);
        if (slash != bond) token.safeTransfer(owner, bond - slash);
        if (slash != 0) token.safeTransfer(treasury, slash);
    }

    function _takeRootBond() private {
        if (rootBond == 0) return;
        totalRootBonds += rootBond;
        token.safeTransferFrom(msg.sender, address(this), rootBond);
    }

    function _giveRootBond(address to, uint256 amount) private {
        if (amount == 0) return;
        totalRootBonds -= amount;
        token.safeTransfer(to, amount);
    }

    function _requireProof(uint64 turn, bytes32 root, bytes32 leaf, bytes32[] calldata proof) private pure {
        require(MerkleProof.verifyCalldata(proof, root, leaf), ProofInvalid(turn, leaf, root));
    }

    function _requireNewest(uint64 turn) private view returns (Root storage root) {
        root = _requireFinal(turn);
        uint64 newest = newestFinal();
        require(turn == newest, NotNewestRoot(turn, newest));
    }

    function _requireFinal(uint64 turn) private view returns (Root storage root) {
        root = _known(turn);
        require(root.challenger == address(0), UnderDispute(turn, root.challenger));
        require(block.timestamp >= root.finalAt, WindowOpen(turn, root.finalAt, uint64(block.timestamp)));
    }

    function _known(uint64 turn) private view returns (Root storage root) {
        root = _roots[turn];
        require(root.finalAt != 0, RootUnknown(turn, lastTurn));
    }
}
